# The log of the order service: it writes topic orders and reads orders and payments.
ACLS="kafka-acls.sh --bootstrap-server $KAFKA --command-config admin.properties --add --allow-principal User:order-service"
# It makes its topics at start; leave this line out where they are made for it.
$ACLS --operation Create --topic orders --topic payments
$ACLS --operation Read --operation Describe --topic orders --topic payments
$ACLS --operation Write --topic orders
# Its groups: of its handlers, of its views and of its delayed retries.
$ACLS --operation Read --group order-service
$ACLS --operation Read --group order-service. --resource-pattern-type prefixed
# Its delayed retries (topics order-service.retry.1m and so on), where a handler asks for them.
$ACLS --operation Create --operation Read --operation Write --operation Describe --topic order-service.retry. --resource-pattern-type prefixed
# The relay, which writes each slot of the outbox under a transactional id of its own.
$ACLS --operation Write --operation Describe --transactional-id eventbus.order-service. --resource-pattern-type prefixed
