"""One module for each kind of meter, and the one that chooses among them (`discover`)."""
