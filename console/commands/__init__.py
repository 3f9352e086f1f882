"""One module per group of commands: options and arguments in, a few lines of calls, tables and sentences out."""
