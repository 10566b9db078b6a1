"""x"""
LAYERS = ("sa-sqlite", "sa-postgresql", "cd")
def difference(name, layer, parameters):
    return None
