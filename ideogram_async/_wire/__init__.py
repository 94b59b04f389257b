"""Wire format, without I/O: request to call, reply to answer or error."""
