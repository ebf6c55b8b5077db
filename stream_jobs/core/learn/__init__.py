"""What finished runs teach: pure functions over what the stitcher makes of them."""
