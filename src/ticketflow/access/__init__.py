"""Who is calling: tokens read and issued, roles narrowed, callers held to their rate."""
