// Makes lines of messages.txt: random values of Kafka's messages, in every version, written by Kafka's own classes.
//
//   java -cp "$HOME/.cache/millstream-peers/kafka/jars/*" Golden.java ElectLeadersRequest ElectLeadersResponse ...
//
// What a message has is read from the definitions in the kafka-clients jar.

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.*;
import java.util.*;
import org.apache.kafka.common.protocol.*;

class Golden {
    static final Random random = new Random(43);
    static final ObjectMapper mapper = new ObjectMapper().configure(JsonParser.Feature.ALLOW_COMMENTS, true);
    static final JsonNodeFactory nodes = JsonNodeFactory.instance;
    static final String LETTERS = "abz019._-\u00e9\u4e2d";

    public static void main(String[] names) throws Exception {
        for (String name : names) {
            JsonNode schema;
            try (var in = Message.class.getResourceAsStream("/common/message/" + name + ".json")) {
                schema = mapper.readTree(in);
            }
            Map<String, JsonNode> structs = new HashMap<>();
            for (JsonNode one : schema.path("commonStructs")) structs.put(one.get("name").asText(), one.get("fields"));
            Class<?> converter = Class.forName("org.apache.kafka.common.message." + name + "DataJsonConverter");
            var read = converter.getMethod("read", JsonNode.class, short.class);
            String[] valid = schema.get("validVersions").asText().split("-");
            for (short version = Short.parseShort(valid[0]); version <= Short.parseShort(valid[valid.length - 1]); version++) {
                for (int time = 0; time < 2; time++) {
                    Message message = (Message) read.invoke(null, struct(schema.get("fields"), structs, version), version);
                    var bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
                    StringBuilder line = new StringBuilder(name + " " + version + " ");
                    while (bytes.hasRemaining()) line.append(String.format("%02x", bytes.get()));
                    System.out.println(line);
                }
            }
        }
    }

    /** Whether `version` is in a range like "2+", "0-3", "4" or "none". */
    static boolean in(JsonNode range, short version) {
        String text = range == null ? "none" : range.asText();
        if (text.equals("none")) return false;
        if (text.endsWith("+")) return version >= Short.parseShort(text.substring(0, text.length() - 1));
        String[] ends = text.split("-");
        return version >= Short.parseShort(ends[0]) && version <= Short.parseShort(ends[ends.length - 1]);
    }

    static ObjectNode struct(JsonNode fields, Map<String, JsonNode> structs, short version) {
        ObjectNode object = nodes.objectNode();
        for (JsonNode field : fields) {
            if (!in(field.get("versions"), version) || field.has("tag") && random.nextBoolean()) continue;
            String name = field.get("name").asText();
            JsonNode value = in(field.get("nullableVersions"), version) && random.nextInt(4) == 0
                ? nodes.nullNode() : value(field.get("type").asText(), field.get("fields"), structs, version);
            object.set(name.substring(0, 1).toLowerCase() + name.substring(1), value);
        }
        return object;
    }

    static JsonNode value(String type, JsonNode fields, Map<String, JsonNode> structs, short version) {
        if (type.startsWith("[]")) {
            ArrayNode array = nodes.arrayNode();
            for (int left = random.nextInt(3); left > 0; left--) array.add(value(type.substring(2), fields, structs, version));
            return array;
        }
        return switch (type) {
            case "bool" -> nodes.booleanNode(random.nextBoolean());
            case "int8" -> nodes.numberNode(random.nextInt(128));
            // Also error codes, of which not every number is one.
            case "int16" -> nodes.numberNode(random.nextInt(100));
            case "uint16" -> nodes.numberNode(random.nextInt(65536));
            case "int32" -> nodes.numberNode(random.nextBoolean() ? random.nextInt() : random.nextInt(256));
            case "int64" -> nodes.numberNode(random.nextBoolean() ? random.nextLong() : random.nextInt(256));
            case "float64" -> nodes.numberNode(random.nextGaussian() * 1e6);
            case "string" -> nodes.textNode(text());
            case "uuid" -> nodes.textNode(new org.apache.kafka.common.Uuid(random.nextLong(), random.nextLong()).toString());
            default -> struct(fields == null ? structs.get(type) : fields, structs, version);
        };
    }

    static String text() {
        StringBuilder text = new StringBuilder();
        for (int left = random.nextInt(9); left >= 0; left--) text.append(LETTERS.charAt(random.nextInt(LETTERS.length())));
        return text.toString();
    }
}
