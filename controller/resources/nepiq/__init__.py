"""Resource types of nepiq itself: Null, Sleep, Callback, Clock and Collector."""
