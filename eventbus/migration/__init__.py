"""
Moving a log to another cluster, and what services keep about it: `eventbus migrate`.

logs           where a log is, and that nobody else uses it meanwhile
log_copy       records, partition by partition, in order; what the copy has is compared with what was read
offsets        where a record of the old log is in the new one
translation    what a service's database says about the old log, said about the new one
database_copy  a service's tables, from one database to another
"""
