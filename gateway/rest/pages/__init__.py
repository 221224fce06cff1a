"""What people see in a browser: the pages, and the routes that serve them."""
