#!/bin/sh
# Tells each build which files the tree has, and nothing of what is in them: `.bazelrc` names this
# as Bazel's status command, and //tools/tree:files is made of it. So a test can see a file that no
# target names, and runs again when one comes or goes, but not when one is edited.
#
# One line, "STABLE_TREE" and the paths, in order; a blank within a path is written %20. Where git
# has nothing to say (an unpacked archive), all files count that are not a tool's own.
cd "$(dirname "$0")/../.." || exit 1
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  git -c core.quotepath=off ls-files --cached --others --exclude-standard
else
  find . -type f ! -path './.git/*' ! -path './.fraud/*' ! -path '*/__pycache__/*' |
    sed 's,^\./,,'
fi |
  while IFS= read -r file; do
    # What was removed without git's knowledge is still listed by it.
    if [ -e "$file" ]; then printf '%s\n' "$file"; fi
  done |
  LC_ALL=C sort -u | sed 's/%/%25/g; s/ /%20/g' |
  { printf STABLE_TREE; while IFS= read -r file; do printf ' %s' "$file"; done; echo; }
