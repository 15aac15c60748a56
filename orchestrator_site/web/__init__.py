"""What holds for every request and answer, and the documents of the API."""
