"""Resource types of nepiq itself: Null, Callback, Clock and Collector."""
