"""Which way each look lies in StyleSpace, from measures of random faces and their gradients."""
