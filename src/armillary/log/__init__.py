"""The append-only dataset of evaluations: Parquet fragments in one folder, queried with SQL."""
