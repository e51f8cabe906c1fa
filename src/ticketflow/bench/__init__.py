"""``ticketflow bench``: Ticketflow beside its anchors, in one run on one machine. Only ratios mean anything."""
