"""Packages that the wheels of our projects need, extras included: to try wheels, they are there."""

NEEDED = [
    "@pip//adbc_driver_manager",
    "@pip//adbc_driver_postgresql",
    "@pip//duckdb",
    "@pip//fsspec",
    "@pip//msgspec",
    "@pip//numba",
    "@pip//numpy",
    "@pip//onnx",
    "@pip//onnxscript",
    "@pip//pandas",
    "@pip//psycopg",
    "@pip//psycopg_binary",
    "@pip//pyarrow",
    "@pip//pymysql",
    "@pip//pyspark",
    "@pip//pyyaml",
    "@pip//redis",
    "@pip//rich",
    "@pip//safetensors",
    "@pip//scikit_learn",
    "@pip//sqlalchemy",
    "@pip//torch",
    "@pip//torchserve",
]

# They are installed, not imported: the tags of a target with these dependencies.
NEEDED_TAGS = ["runtime_dep=" + label for label in NEEDED]
