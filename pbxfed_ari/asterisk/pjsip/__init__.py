"""What phones and trunks are made of in PJSIP. Pure: effect → objects, in the order in which they must be pushed."""
