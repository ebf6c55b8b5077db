"""Pure parts of telling people of alerts: whom, when, in which words, and to which addresses never."""
