"""The options of the group `policy`, one file each."""
