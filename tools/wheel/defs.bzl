"""`released`: a project's wheel, and the files that its releases are made of.

Not rules_python's `py_wheel`: the rules_python 0.22.1 that Debian ships leaves the program out that
`py_wheel` runs (`//tools:wheelmaker`), and where it is there, it takes metadata from a BUILD file that
no other tool reads. Here `pyproject.toml` is the one place, and flit_core, the build backend that it
names, does the work.
"""

def _python_wheel_impl(ctx):
    # A folder, as the file's name has the version, which only the sources know.
    folder = ctx.actions.declare_directory(ctx.label.name)
    prefix = ctx.label.package + "/"
    lines = []
    for file in ctx.files.srcs:
        if not file.short_path.startswith(prefix):
            fail("%s is not in the folder of the project" % file.short_path)
        lines.append(file.short_path[len(prefix):] + "\t" + file.path)
    lines.append(ctx.file.licence.basename + "\t" + ctx.file.licence.path)
    manifest = ctx.actions.declare_file(ctx.label.name + ".manifest")
    ctx.actions.write(manifest, "\n".join(sorted(lines)) + "\n")

    arguments = ctx.actions.args()
    arguments.add("--out")
    arguments.add_all([folder], expand_directories = False)
    arguments.add("--manifest", manifest)
    ctx.actions.run(
        executable = ctx.executable._builder,
        arguments = [arguments],
        inputs = ctx.files.srcs + [ctx.file.licence, manifest],
        mnemonic = "PythonWheel",
        outputs = [folder],
        progress_message = "Building the wheel %{label}",
    )
    return [DefaultInfo(
        files = depset([folder]),
        runfiles = ctx.runfiles([folder]),
    )]

python_wheel = rule(
    doc = "A folder with one wheel. The same files give the same bytes.",
    implementation = _python_wheel_impl,
    attrs = {
        "licence": attr.label(
            allow_single_file = True,
            default = "//:LICENSE",
        ),
        "srcs": attr.label_list(
            allow_files = True,
            doc = "`pyproject.toml`, the README, and every file of the package, machine code too.",
            mandatory = True,
        ),
        "_builder": attr.label(
            cfg = "exec",
            default = "//tools/wheel:build_wheel",
            executable = True,
        ),
    },
)

def released(name, package, native_code = []):
    """Declares what a project that is released has.

    `wheel`, the wheel; and `name`, all files that releases are made of: those of the wheel, its
    `changes`, what it publishes, and the interface of the last release.

    Args:
        name: the target of these files.
        package: the folder of the Python package.
        native_code: targets whose files are machine code in that folder. `pyproject.toml` says of
            what //tools/release:cut compiles them; a test holds the two equal.
    """
    files = native.glob(
        [package + "/**"],
        exclude = [
            "**/*.pyc",
            "**/*.so",  # compiled by hand
            "**/__pycache__/**",
        ],
    ) + native_code + [
        "README.md",
        "pyproject.toml",
    ]
    python_wheel(
        name = "wheel",
        srcs = files,
        visibility = ["//visibility:public"],
    )
    native.filegroup(
        name = name,
        srcs = files + [
            "api.txt",
            ":changes",
        ] + native.glob(
            [
                "api.json",
                "native/**",
            ],
            allow_empty = True,  # before the first release, and where nothing is compiled
        ),
        visibility = [
            "//tools/release:__subpackages__",
            "//tools/wheel:__subpackages__",
        ],
    )
