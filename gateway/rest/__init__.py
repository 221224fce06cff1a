"""What a client sees: the bytes of requests and answers, and HTTP around them."""
