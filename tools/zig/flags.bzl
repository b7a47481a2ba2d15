"""How Zig is told to compile: by defs.bzl, and by //tools/zig:compile, to the same bytes.

Literals only, for that program reads them from the text.
"""

TARGETS = {
    "aarch64": "aarch64-linux-gnu",
    "x86_64": "x86_64-linux-gnu",
}

FLAGS = [
    "-std=c++20",
    "-O3",
    "-ffp-contract=fast",  # fused multiply-adds, wherever there is one
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fno-sanitize=all",  # Zig's default is to trap undefined behaviour
    "-fno-stack-protector",  # needs a C library
    "-fno-exceptions",
    "-fno-rtti",
    "-g0",
    "-fPIC",
    "-shared",
    "-ffreestanding",
    "-nostdlib",
    "-nostdinc",
    "-nostdinc++",
]
