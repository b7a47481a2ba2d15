"""Reports: one HTML page each, with pictures, that needs nothing but itself."""
