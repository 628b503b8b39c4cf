"""The report's figures and pages."""
