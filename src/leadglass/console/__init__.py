"""The web console and DICOMweb: one Starlette application over the services it is given."""
