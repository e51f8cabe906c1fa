"""Diagrams of boxes and arrows, laid out without outside programs and drawn as SVG, PNG, Mermaid or text."""
