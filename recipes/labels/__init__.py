"""Labels without people: measures of drawn faces, and looks painted onto them."""
