"""The options of the group `value`, one file each."""
