"""cnncli against its peers, and against the limit of the machine."""
