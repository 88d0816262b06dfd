"""Parts of `versioned_collection.embedded`: finding, guarding and explaining a mongod."""
