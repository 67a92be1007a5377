"""Results on disk: Parquet, manifests, where and by what they were made."""
