allow() { user=$1; shift; kafka-acls.sh --bootstrap-server "$KAFKA" --command-config admin.properties --add --allow-principal "User:$user" "$@"; }

# A service, which is the user of that name, the topic that it writes, and one that it only reads.
service() {
    # It makes its topics at start; leave this line out where they are made for it.
    allow "$1" --operation Create --topic "$2" --topic "$3"
    allow "$1" --operation Read --operation Describe --topic "$2" --topic "$3"
    allow "$1" --operation Write --topic "$2"
    # Its groups: of its handlers; of its views, their rebuilds and its delayed retries.
    allow "$1" --operation Read --group "$1"
    allow "$1" --operation Read --group "$1." --resource-pattern-type prefixed
    # Its delayed retries (topics order-service.retry.1m and so on), where a handler asks for them.
    allow "$1" --operation Create --operation Read --operation Write --operation Describe --topic "$1.retry." --resource-pattern-type prefixed
    # The relay, which writes each slot of the outbox under a transactional id of its own.
    allow "$1" --operation Write --operation Describe --transactional-id "eventbus.$1." --resource-pattern-type prefixed
}
service order-service orders payments
service payment-service payments orders

# Whoever runs `eventbus topics plan|check|apply`; the first two need no Create and no AlterConfigs.
allow deployment --operation Describe --operation DescribeConfigs --operation Create --operation AlterConfigs --topic orders --topic payments
# Whoever watches how far groups are behind.
allow monitor --operation Describe --group '*' --topic '*'
