"""The states of a job and the SQL that changes them: enqueue, claim, renew, finish, retry, retention."""
