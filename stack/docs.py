"""The README's generated parts."""
def write(): pass
