"""Small applications on frameworks that others wrote."""
