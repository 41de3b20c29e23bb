"""Study -> figures -> one self-contained page. Imports results, runs nothing."""
