import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;

/** Commits and aborts in turn, moves offsets with the output, is fenced, and prints what a reader of committed sees. */
public class Transactions {
    static final String TEXT = "org.apache.kafka.common.serialization.String";

    static KafkaProducer<String, String> producer(String server, String id) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", server);
        settings.put("transactional.id", id);
        settings.put("key.serializer", TEXT + "Serializer");
        settings.put("value.serializer", TEXT + "Serializer");
        KafkaProducer<String, String> producer = new KafkaProducer<>(settings);
        producer.initTransactions();
        return producer;
    }

    static KafkaConsumer<String, String> consumer(String server, String group) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", server);
        settings.put("group.id", group);
        settings.put("isolation.level", "read_committed");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", TEXT + "Deserializer");
        settings.put("value.deserializer", TEXT + "Deserializer");
        return new KafkaConsumer<>(settings);
    }

    public static void main(String[] arguments) {
        String server = arguments[0];
        String topic = arguments[1];
        int rounds = Integer.parseInt(arguments[2]);
        List<TopicPartition> places = List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1));
        KafkaProducer<String, String> zombie = producer(server, topic);
        try (KafkaConsumer<String, String> member = consumer(server, topic + ".group")) {
            member.subscribe(List.of(topic));
            member.poll(Duration.ofSeconds(5));
            for (int round = 0; round < rounds; round++) {
                zombie.beginTransaction();
                for (TopicPartition place : places) {
                    zombie.send(new ProducerRecord<>(topic, place.partition(), "k", round + "-" + place.partition()));
                }
                zombie.sendOffsetsToTransaction(
                        Map.of(places.get(0), new OffsetAndMetadata(round)), member.groupMetadata());
                if (round % 3 == 2) {
                    // Or it drops what it has not sent yet.
                    zombie.flush();
                    zombie.abortTransaction();
                } else {
                    zombie.commitTransaction();
                }
            }
        }
        zombie.beginTransaction();
        zombie.send(new ProducerRecord<>(topic, 0, "k", "zombie"));
        zombie.flush();
        KafkaProducer<String, String> successor = producer(server, topic);
        try {
            zombie.commitTransaction();
            System.out.println("not fenced");
        } catch (KafkaException fenced) {
            System.out.println("fenced " + fenced.getClass().getSimpleName());
        }
        successor.beginTransaction();
        successor.send(new ProducerRecord<>(topic, 0, "k", "successor"));
        successor.commitTransaction();
        successor.close();
        zombie.close(Duration.ZERO);
        try (KafkaConsumer<String, String> reader = consumer(server, topic + ".group")) {
            System.out.println("offset " + reader.committed(java.util.Set.copyOf(places)).get(places.get(0)).offset());
            reader.assign(places);
            reader.seekToBeginning(places);
            Map<TopicPartition, Long> ends = reader.endOffsets(places);
            while (places.stream().anyMatch(place -> reader.position(place) < ends.get(place))) {
                ConsumerRecords<String, String> records = reader.poll(Duration.ofSeconds(1));
                records.forEach(record -> System.out.println("read " + record.value()));
            }
        }
    }
}
