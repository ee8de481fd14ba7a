"""What the synchronous and the asynchronous half of the SDK share: names, results and formats."""
