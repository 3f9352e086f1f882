"""What people and programs use: the command line, and later the web console, over one service layer."""
