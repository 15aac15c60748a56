"""What is known of one incident, and its pages."""
