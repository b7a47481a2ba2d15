"""The projects of the repository: who may depend on whom follows from their kind.

A project is a folder of the root: FOLDER: (KIND, PACKAGE). `./bazelw run //tools:new_project` adds
one; //tools/ownership:test_projects holds this list equal to the folders that there are.
"""

PROJECTS = {
    "batch": ("workflow", "batch_proc"),
    "connectors": ("library", "data_connector"),
    "ml": ("library", "fraud_ml"),
    "research": ("lab", "experiments"),
    "serving": ("service", "fraud_detect"),
}

# The kinds that a kind may build on. Libraries do not know each other.
BUILDS_ON = {
    "lab": ["library", "service", "workflow"],
    "library": [],
    "service": ["library"],
    "workflow": ["library"],
}

def packages_that_use(kind):
    """Patterns of the packages that may depend on a project of this kind, for a package_group."""
    return [
        "//%s/..." % folder
        for folder, (user, _) in sorted(PROJECTS.items())
        if kind in BUILDS_ON[user]
    ]

def forbidden_to(folder):
    """Folder and package of each project that the one in `folder` may not depend on."""
    kind, _ = PROJECTS[folder]
    return [
        (other, package)
        for other, (other_kind, package) in sorted(PROJECTS.items())
        if other != folder and other_kind not in BUILDS_ON[kind]
    ]
