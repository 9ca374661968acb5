/* Frames on the serial port: each request is carried out once and answered as often as it arrives. */
#include "host.h"

#include "crc32.h"
#include "engine.h"
#include "loaded.h"

/* First word, two operands, data, CRC. */
#define FRAME_WORDS (4u + HOST_DATA_BYTES / 4)
#define FRAME_BYTES (4 * FRAME_WORDS)

/* How often to look for the next byte of a frame before doing something else; what has arrived is kept. */
#define LOOKS 256u

/* Longer than the transmitter's buffer takes at the slowest rate a UART can have been set to in practice. */
#define DRAIN_CYCLES (1u << 26)

bool host_attention;

static uint32_t request[FRAME_WORDS];
static uint32_t request_bytes; /* that have arrived; beyond FRAME_BYTES they are counted, not kept */
static bool escaped;

static uint32_t answer[FRAME_WORDS];
static uint32_t answer_words; /* without the CRC */

static bool in_session;
static uint32_t sequence;     /* of the last request carried out */
static bool waiting;          /* for the command in the mailbox */

static uint32_t first_divisor; /* of the rate after reset, 0 until it changes */
static uint32_t lease;         /* cycles the present rate may last without a sound frame, 0 for ever */
static uint32_t heard;         /* when the last sound frame arrived */

static void send_byte(uint8_t byte) {
    if (byte == SLIP_END) {
        uart_put(SLIP_ESC);
        byte = SLIP_ESC_END;
    } else if (byte == SLIP_ESC) {
        uart_put(SLIP_ESC);
        byte = SLIP_ESC_ESC;
    }
    uart_put(byte);
}

/* `words` has room for the CRC behind its `count`. */
APART static void send(uint32_t *words, uint32_t count) {
    words[count] = crc32(words, count);
    uart_put(SLIP_END);
    for (uint32_t i = 0; i < 4 * (count + 1); i++) {
        send_byte((uint8_t)(words[i / 4] >> 8 * (i % 4)));
    }
    uart_put(SLIP_END);
}

static uint32_t first_word(uint32_t kind, uint32_t verdict, uint32_t number) {
    return kind | HOST_ANSWER | verdict << 8 | number << 16;
}

/* An answer that is not worth remembering: nothing was carried out. */
static void refuse(uint32_t kind, uint32_t verdict, uint32_t number) {
    uint32_t words[2] = {first_word(kind, verdict, number)};
    send(words, 1);
}

/* Whether offset and bytes are whole words inside the memory behind PROGRAM_OFFSET. */
static bool inside(uint32_t offset, uint32_t bytes) {
    uint32_t memory = *device(SYSTEM_BASE + SYSTEM_RAM_BYTES) - PROGRAM_OFFSET;
    return offset % 4 == 0 && bytes % 4 == 0 && offset <= memory && bytes <= memory - offset;
}

static volatile uint32_t *program_word(uint32_t offset) {
    return device((RAM_BASE | UNCACHED) + PROGRAM_OFFSET + offset);
}

static uint32_t write_memory(const uint32_t *operands, uint32_t count) {
    if (count < 2) {
        return ANSWER_BAD_REQUEST;
    }
    uint32_t offset = operands[0];
    if (!inside(offset, 4 * (count - 1))) {
        return ANSWER_BAD_ADDRESS;
    }
    forget_image(offset);
    for (uint32_t i = 1; i < count; i++) {
        program_word(offset)[i - 1] = operands[i];
    }
    return ANSWER_DONE;
}

static uint32_t read_memory(const uint32_t *operands, uint32_t count) {
    if (count != 2 || operands[1] > HOST_DATA_BYTES) {
        return ANSWER_BAD_REQUEST;
    }
    if (!inside(operands[0], operands[1])) {
        return ANSWER_BAD_ADDRESS;
    }
    for (uint32_t i = 0; i < operands[1] / 4; i++) {
        answer[answer_words++] = program_word(operands[0])[i];
    }
    return ANSWER_DONE;
}

static void identify(void) {
    uint32_t *words = answer + answer_words;
    words[IDENTITY_HOST_VERSION] = HOST_VERSION;
    words[IDENTITY_PROGRAM_VERSION] = PROGRAM_VERSION;
    words[IDENTITY_CONFIG_HASH] = engine_read(REG_CONFIG_HASH);
    words[IDENTITY_RAM_BYTES] = *device(SYSTEM_BASE + SYSTEM_RAM_BYTES);
    words[IDENTITY_CLOCK_HZ] = *device(SYSTEM_BASE + SYSTEM_CLOCK_HZ);
    words[IDENTITY_DIVISOR] = *device(UART_BASE + UART_DIVISOR);
    words[IDENTITY_LOADED_BYTES] = loaded_image();
    answer_words += IDENTITY_WORDS;
}

/* The command was done, or ended in a trap: the mailbox tells which. */
static void answer_command(void) {
    uint32_t *words = answer + answer_words;
    waiting = false;
    words[RESULT_STATUS] = *mailbox(MAILBOX_STATUS);
    words[RESULT_INFO] = *mailbox(MAILBOX_INFO);
    words[RESULT_ADDRESS] = *mailbox(MAILBOX_ADDRESS);
    words[RESULT_STEP] = *mailbox(MAILBOX_STEP);
    words[RESULT_CYCLES_LOW] = *mailbox(MAILBOX_CYCLES_LOW);
    words[RESULT_CYCLES_HIGH] = *mailbox(MAILBOX_CYCLES_HIGH);
    words[RESULT_BUSY] = engine_read(REG_BUSY);
    words[RESULT_COMPUTE] = engine_read(REG_COMPUTE);
    words[RESULT_STALL_INPUT] = engine_read(REG_STALL_INPUT);
    words[RESULT_STALL_WEIGHTS] = engine_read(REG_STALL_WEIGHTS);
    words[RESULT_STALL_OUTPUT] = engine_read(REG_STALL_OUTPUT);
    words[RESULT_OPERATIONS] = engine_read(REG_OPERATIONS);
    answer_words += RESULT_WORDS;
    send(answer, answer_words);
    heard = cycles();
}

static void set_divisor(uint32_t divisor, uint32_t lease_) {
    uint32_t start = cycles();
    if (!first_divisor) {
        first_divisor = *device(UART_BASE + UART_DIVISOR);
    }
    while (!(*device(UART_BASE + UART_STATUS) & UART_NOTHING_TO_SEND) && cycles() - start < DRAIN_CYCLES) {
    }
    *device(UART_BASE + UART_DIVISOR) = divisor;
    lease = divisor == first_divisor ? 0 : lease_;
    heard = cycles();
}

/* Carries out what a sound frame with a new number asks for. */
static void carry_out(uint32_t kind, const uint32_t *operands, uint32_t count) {
    uint32_t verdict = ANSWER_BAD_REQUEST;
    answer_words = 1;
    switch (kind) {
    case REQUEST_IDENTIFY:
        if (count == 0) {
            identify();
            verdict = ANSWER_DONE;
        }
        break;
    case REQUEST_WRITE:
        verdict = write_memory(operands, count);
        break;
    case REQUEST_READ:
        verdict = read_memory(operands, count);
        break;
    case REQUEST_COMMAND:
        if (count == 1 && operands[0] != COMMAND_NONE) {
            answer[0] = first_word(kind, ANSWER_DONE, sequence);
            *mailbox(MAILBOX_COMMAND) = operands[0];
            waiting = true;
            return;
        }
        break;
    case REQUEST_RATE:
        if (count == 2) {
            verdict = ANSWER_DONE;
        }
        break;
    }
    answer[0] = first_word(kind, verdict, sequence);
    send(answer, answer_words);
    if (kind == REQUEST_RATE && verdict == ANSWER_DONE) {
        set_divisor(operands[0], operands[1]);
    }
}

static bool is_sound(uint32_t bytes) {
    return bytes % 4 == 0 && bytes >= 8 && bytes <= FRAME_BYTES &&
           crc32(request, bytes / 4 - 1) == request[bytes / 4 - 1];
}

static void frame_arrived(void) {
    uint32_t bytes = request_bytes;
    request_bytes = 0;
    escaped = false;
    if (!is_sound(bytes)) {
        refuse(0, ANSWER_BAD_FRAME, 0);
        return;
    }
    uint32_t kind = request[0] & 0xFF, number = request[0] >> 16;
    heard = cycles();
    if (kind & HOST_ANSWER) {
        return; /* our own, back from somewhere */
    }
    if (kind == REQUEST_IDENTIFY) {
        in_session = true;
    } else if (!in_session || (number != sequence && number != ((sequence + 1) & 0xFFFF))) {
        refuse(kind, ANSWER_NO_SESSION, number);
        return;
    } else if (number == sequence && kind != REQUEST_RATE) {
        send(answer, answer_words);
        return;
    }
    sequence = number;
    carry_out(kind, request + 1, bytes / 4 - 2);
}

/* The byte in `data` and those that follow, up to the end of a frame or a pause. */
static void listen(uint32_t data) {
    uint8_t *bytes = (uint8_t *)request;
    for (uint32_t looks = 0; looks < LOOKS; looks++) {
        if (data & UART_RECEIVED) {
            uint8_t byte = (uint8_t)data;
            looks = 0;
            if (byte == SLIP_END) {
                /* Those in front of a frame delimit nothing. */
                if (request_bytes) {
                    frame_arrived();
                    return;
                }
            } else if (byte == SLIP_ESC) {
                escaped = true;
            } else {
                if (escaped) {
                    byte = byte == SLIP_ESC_END ? SLIP_END : byte == SLIP_ESC_ESC ? SLIP_ESC : byte;
                    escaped = false;
                }
                if (request_bytes < FRAME_BYTES) {
                    bytes[request_bytes] = byte;
                }
                request_bytes += request_bytes <= FRAME_BYTES;
            }
        }
        data = *device(UART_BASE + UART_DATA);
    }
}

void host_serve(uint32_t data) {
    if (waiting) {
        answer_command();
    }
    if (data & UART_RECEIVED) {
        listen(data);
    }
    if (lease && cycles() - heard > lease) {
        *device(UART_BASE + UART_DIVISOR) = first_divisor;
        lease = 0;
    }
    host_attention = waiting || lease;
}
