/* A stand-in for libnvidia-ml.so.1: a small, honest lie that the real `pynvml` loads.
 *
 * Every value is a pure function of CLOCK_MONOTONIC and of the variables below, which are read by the
 * nvmlInit that finds the library unused. Nothing is accumulated between calls, so any number of
 * threads may read, and the truth between two instants can be computed elsewhere to the millijoule.
 *
 * Instants are nanoseconds of CLOCK_MONOTONIC (Python: time.monotonic_ns()). Unset means the default.
 *
 *   NVML_STANDIN_GPUS             number of GPUs, 0 to 64                                    (1)
 *   NVML_STANDIN_LOW_W            power in the first half of every period, in watts          (100)
 *   NVML_STANDIN_HIGH_W           power in the second half, in watts                         (LOW_W)
 *   NVML_STANDIN_PERIOD_S         period of the square wave in seconds; 0 is constant LOW_W  (0)
 *   NVML_STANDIN_SUPPORTS         comma list out of energy,power,average,utilization; whatever is
 *                                 missing answers NVML_STANDIN_REFUSAL. `average` is the field of
 *                                 the last second's mean power                               (all)
 *   NVML_STANDIN_REFUSAL          NVML error code for what is missing          (3: NOT_SUPPORTED)
 *   NVML_STANDIN_STUCK_AT_NS      from this instant on the energy counters stand still       (never)
 *   NVML_STANDIN_COUNTER_MS       the energy counter moves once in so many milliseconds      (0: exact)
 *   NVML_STANDIN_LATENCY_MS       every reading takes so many milliseconds; the value is of
 *                                 the middle of them                                         (0)
 *   NVML_STANDIN_HANG_FROM_NS     from this instant on ...                                   (never)
 *   NVML_STANDIN_HANG_S           ... every reading hangs for so many seconds                (0)
 *   NVML_STANDIN_LOAD_HANG_S      queries of utilisation and of processes hang for so many seconds   (0)
 *   NVML_STANDIN_INIT_S           initialising takes so many seconds                         (0)
 *   NVML_STANDIN_INIT_GATE        path of a named pipe: initialising waits until it is opened for writing   (none)
 *   NVML_STANDIN_LOST_FROM_NS     from this instant on readings answer GPU_IS_LOST ...       (never)
 *   NVML_STANDIN_LOST_UNTIL_NS    ... until this one                                         (for ever)
 *   NVML_STANDIN_LOST_INDEX       only this GPU is lost                                      (-1: all)
 *   NVML_STANDIN_RESET_AT_NS      the energy counters fall to 0 at this instant              (never)
 *   NVML_STANDIN_RELOAD_AT_NS     the driver is loaded anew at this instant: whoever opened the library
 *                                 before gets DRIVER_NOT_LOADED until its last user has closed it and
 *                                 it is opened again; the energy counters begin at 0         (never)
 *   NVML_STANDIN_CAPABILITY       CUDA compute capability                                    (9.0)
 *   NVML_STANDIN_MODULE_W         power of the module that a GPU is part of, in watts        (0: none)
 *   NVML_STANDIN_PROCESSES        comma list of PID:UTILISATION: processes on every GPU and their
 *                                 share of its multiprocessors in percent                    (none)
 *   NVML_STANDIN_MIG              comma list of numbers: the compute slices of the MIG devices that
 *                                 every GPU is cut into                                      (none)
 *   NVML_STANDIN_LIMIT_W          enforced and default power limit in watts                  (700)
 *   NVML_STANDIN_MEMORY_MIB       memory of each GPU                                         (81920)
 *   NVML_STANDIN_NAMES            names separated by `|`; the last one goes for the rest     (NVML Stand-In)
 *   NVML_STANDIN_DRIVER           driver version                                             (550.0)
 *   NVML_STANDIN_INIT_ERROR       NVML error code that initialising answers                  (0: success)
 *
 * GPU number N has the UUID GPU-00000000-0000-0000-0000-00000000000N (N in hexadecimal). Its counter
 * holds N kJ at monotonic 0, so that no two GPUs look like one. Utilisation is the share of the power
 * limit that is drawn, in percent. MIG device number M of GPU number N has the UUID
 * MIG-00000000-0000-0000-000M-00000000000N.
 */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15
};
enum { MAX_GPUS = 64, MAX_SLICES = 8, MAX_PROCESSES = 8 };
enum { ENERGY = 1, POWER = 2, UTILIZATION = 4, AVERAGE = 8 };
enum { FIELD_ENERGY = 83, FIELD_POWER_AVERAGE = 185, FIELD_POWER_INSTANT = 186 };
enum { TYPE_UNSIGNED_INT = 1, TYPE_UNSIGNED_LONG_LONG = 3 };

typedef int nvmlReturn_t;
/* A board, or a MIG device of one: then `slice` is its number plus one. */
typedef struct { int index, slice; } gpu_t;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } process_t;
typedef struct { unsigned pid; unsigned long long t_us; unsigned sm, memory, encoder, decoder; } sample_t;
typedef struct { unsigned sms, counts[5], gpu_slices, compute_slices; unsigned long long memory_mib; } attributes_t;
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct {
    char busIdLegacy[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} pci_t;
typedef union { double d; unsigned ui; unsigned long ul; unsigned long long ull; } value_t;
typedef struct {
    uint32_t fieldId, scopeId;
    int64_t timestamp, latencyUsec;
    unsigned valueType;
    nvmlReturn_t nvmlReturn;
    value_t value;
} field_t;

static struct {
    int users, gpus, supports, lost_index, refusal, slices, slice_sizes[MAX_SLICES], processes;
    int capability_major, capability_minor;
    unsigned pids[MAX_PROCESSES], loads[MAX_PROCESSES];
    double low_w, high_w, period_s, limit_w, module_w, latency_s, hang_s, load_hang_s;
    int64_t counter_ns, hang_from_ns, lost_from_ns, lost_until_ns, reset_at_ns, stuck_at_ns;
    int64_t reload_at_ns, opened_ns;
    unsigned long long memory;
    char names[2048], driver[64];
} self;
static gpu_t gpus[MAX_GPUS], mig_devices[MAX_GPUS][MAX_SLICES];

/* ---- settings ---------------------------------------------------------------------------------- */

static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtod(text, NULL) : otherwise;
}

static int64_t instant(const char *name, int64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoll(text, NULL, 10) : otherwise;
}

static void words(const char *name, const char *otherwise, char *into, size_t size) {
    const char *text = getenv(name);
    snprintf(into, size, "%s", text && *text ? text : otherwise);
}

static void configure_users(void) {
    char text[256];
    words("NVML_STANDIN_MIG", "", text, sizeof text);
    self.slices = self.processes = 0;
    for (char *part = strtok(text, ","); part && self.slices < MAX_SLICES; part = strtok(NULL, ","))
        self.slice_sizes[self.slices++] = atoi(part);
    words("NVML_STANDIN_PROCESSES", "", text, sizeof text);
    for (char *part = strtok(text, ","); part && self.processes < MAX_PROCESSES; part = strtok(NULL, ","))
        if (sscanf(part, "%u:%u", &self.pids[self.processes], &self.loads[self.processes]) == 2)
            self.processes++;
    for (int i = 0; i < MAX_GPUS; i++)
        for (int j = 0; j < MAX_SLICES; j++) mig_devices[i][j] = (gpu_t){i, j + 1};
}

static void configure(void) {
    char supports[128];
    words("NVML_STANDIN_SUPPORTS", "energy,power,average,utilization", supports, sizeof supports);
    self.supports = (strstr(supports, "energy") ? ENERGY : 0) | (strstr(supports, "power") ? POWER : 0) |
                    (strstr(supports, "average") ? AVERAGE : 0) |
                    (strstr(supports, "utilization") ? UTILIZATION : 0);
    self.module_w = number("NVML_STANDIN_MODULE_W", 0);
    self.refusal = (int)number("NVML_STANDIN_REFUSAL", NOT_SUPPORTED);
    self.stuck_at_ns = instant("NVML_STANDIN_STUCK_AT_NS", INT64_MAX);
    self.reload_at_ns = instant("NVML_STANDIN_RELOAD_AT_NS", INT64_MAX);
    double capability = number("NVML_STANDIN_CAPABILITY", 9.0);
    self.capability_major = (int)capability;
    self.capability_minor = (int)(capability * 10 + 0.5) % 10;
    configure_users();
    self.gpus = (int)number("NVML_STANDIN_GPUS", 1);
    if (self.gpus < 0) self.gpus = 0;
    if (self.gpus > MAX_GPUS) self.gpus = MAX_GPUS;
    self.low_w = number("NVML_STANDIN_LOW_W", 100);
    self.high_w = number("NVML_STANDIN_HIGH_W", self.low_w);
    self.period_s = number("NVML_STANDIN_PERIOD_S", 0);
    self.limit_w = number("NVML_STANDIN_LIMIT_W", 700);
    self.latency_s = number("NVML_STANDIN_LATENCY_MS", 0) / 1e3;
    self.hang_s = number("NVML_STANDIN_HANG_S", 0);
    self.load_hang_s = number("NVML_STANDIN_LOAD_HANG_S", 0);
    self.counter_ns = (int64_t)(number("NVML_STANDIN_COUNTER_MS", 0) * 1e6);
    self.hang_from_ns = instant("NVML_STANDIN_HANG_FROM_NS", INT64_MAX);
    self.lost_from_ns = instant("NVML_STANDIN_LOST_FROM_NS", INT64_MAX);
    self.lost_until_ns = instant("NVML_STANDIN_LOST_UNTIL_NS", INT64_MAX);
    self.lost_index = (int)number("NVML_STANDIN_LOST_INDEX", -1);
    self.reset_at_ns = instant("NVML_STANDIN_RESET_AT_NS", INT64_MAX);
    self.memory = (unsigned long long)number("NVML_STANDIN_MEMORY_MIB", 81920) << 20;
    words("NVML_STANDIN_NAMES", "NVML Stand-In", self.names, sizeof self.names);
    words("NVML_STANDIN_DRIVER", "550.0", self.driver, sizeof self.driver);
    for (int i = 0; i < MAX_GPUS; i++) gpus[i].index = i;
}

/* ---- the world --------------------------------------------------------------------------------- */

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_s(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    if (seconds > 0)
        while (nanosleep(&t, &t)) continue;
}

static double power_w(int64_t t_ns) {
    if (self.period_s <= 0) return self.low_w;
    double phase_s = fmod((double)t_ns / 1e9, self.period_s);
    return phase_s < self.period_s / 2 ? self.low_w : self.high_w;
}

/* Joules of one GPU since monotonic 0. */
static double energy_j(int64_t t_ns) {
    double t_s = (double)t_ns / 1e9;
    if (self.period_s <= 0) return self.low_w * t_s;
    double periods = floor(t_s / self.period_s), rest_s = t_s - periods * self.period_s;
    double half_s = self.period_s / 2, high_s = rest_s > half_s ? rest_s - half_s : 0;
    return periods * half_s * (self.low_w + self.high_w) + (rest_s - high_s) * self.low_w +
           high_s * self.high_w;
}

static double mean_power_w(int64_t t_ns) {
    return energy_j(t_ns) - energy_j(t_ns - 1000000000);
}

static unsigned long long counter_mj(const gpu_t *gpu, int64_t t_ns) {
    if (t_ns > self.stuck_at_ns) t_ns = self.stuck_at_ns;
    if (self.counter_ns > 0) t_ns -= t_ns % self.counter_ns;
    double joules = energy_j(t_ns) + 1000.0 * gpu->index;
    if (t_ns >= self.reset_at_ns) joules = energy_j(t_ns) - energy_j(self.reset_at_ns);
    if (t_ns >= self.reload_at_ns) joules = energy_j(t_ns) - energy_j(self.reload_at_ns);
    return (unsigned long long)(joules * 1000);
}

static int is_lost(const gpu_t *gpu, int64_t t_ns) {
    int meant = self.lost_index < 0 || self.lost_index == gpu->index;
    return meant && t_ns >= self.lost_from_ns && t_ns < self.lost_until_ns;
}

static nvmlReturn_t ready(void) {
    if (!self.users) return UNINITIALIZED;
    int is_new = self.opened_ns >= self.reload_at_ns;
    return is_new || now_ns() < self.reload_at_ns ? SUCCESS : DRIVER_NOT_LOADED;
}

static nvmlReturn_t check(const gpu_t *gpu, const void *out) {
    nvmlReturn_t wrong = ready();
    if (wrong) return wrong;
    if (gpu < gpus || gpu >= gpus + self.gpus || !out) return INVALID_ARGUMENT;
    return SUCCESS;
}

static int is_mig_device(const gpu_t *gpu) {
    const gpu_t *first = &mig_devices[0][0];
    return gpu >= first && gpu < first + MAX_GPUS * MAX_SLICES && gpu->slice <= self.slices;
}

/* One reading: checks, waits as a slow or hung driver would, and says of which instant the value is. */
static nvmlReturn_t sense(const gpu_t *gpu, const void *out, int what, int64_t *t_ns) {
    nvmlReturn_t wrong = check(gpu, out);
    if (wrong) return wrong;
    if (now_ns() >= self.hang_from_ns) pause_s(self.hang_s);
    pause_s(self.latency_s / 2);
    *t_ns = now_ns();
    pause_s(self.latency_s / 2);
    if (is_lost(gpu, *t_ns)) return GPU_IS_LOST;
    return self.supports & what ? SUCCESS : self.refusal;
}

/* ---- library ----------------------------------------------------------------------------------- */

static void await_gate(void) {
    static int is_open;
    const char *path = getenv("NVML_STANDIN_INIT_GATE");
    if (is_open || !path || !*path) return;
    int pipe = open(path, O_RDONLY);
    if (pipe >= 0) close(pipe);
    is_open = 1;
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int wrong = (int)number("NVML_STANDIN_INIT_ERROR", 0);
    if (wrong) return wrong;
    pause_s(number("NVML_STANDIN_INIT_S", 0));
    await_gate();
    if (__atomic_fetch_add(&self.users, 1, __ATOMIC_SEQ_CST) == 0) {
        configure();
        self.opened_ns = now_ns();
    }
    return SUCCESS;
}

nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlInit(void) { return nvmlInitWithFlags(0); }

nvmlReturn_t nvmlShutdown(void) {
    if (!self.users) return UNINITIALIZED;
    __atomic_fetch_sub(&self.users, 1, __ATOMIC_SEQ_CST);
    return SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t code) {
    switch (code) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

static nvmlReturn_t text(const char *value, char *out, unsigned length) {
    if (!self.users) return UNINITIALIZED;
    if (!out) return INVALID_ARGUMENT;
    if (strlen(value) >= length) return INSUFFICIENT_SIZE;
    strcpy(out, value);
    return SUCCESS;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *out, unsigned length) {
    return text(self.driver, out, length);
}
nvmlReturn_t nvmlSystemGetNVMLVersion(char *out, unsigned length) { return text("12.550.0", out, length); }

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version) {
    if (!self.users) return UNINITIALIZED;
    *version = 12040;
    return SUCCESS;
}

/* ---- which GPU --------------------------------------------------------------------------------- */

static void uuid_of(const gpu_t *gpu, char *out) {
    if (gpu->slice) sprintf(out, "MIG-00000000-0000-0000-%04x-%012x", gpu->slice - 1, (unsigned)gpu->index);
    else sprintf(out, "GPU-00000000-0000-0000-0000-%012x", (unsigned)gpu->index);
}

static void bus_id_of(const gpu_t *gpu, char *out, const char *domain) {
    sprintf(out, "%s:%02X:00.0", domain, (unsigned)gpu->index + 1);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    nvmlReturn_t wrong = ready();
    if (wrong) return wrong;
    *count = (unsigned)self.gpus;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, gpu_t **gpu) {
    nvmlReturn_t wrong = ready();
    if (wrong) return wrong;
    if (index >= (unsigned)self.gpus) return INVALID_ARGUMENT;
    *gpu = &gpus[index];
    return is_lost(*gpu, now_ns()) ? GPU_IS_LOST : SUCCESS;
}

static nvmlReturn_t handle_by(const char *wanted, gpu_t **gpu, int by_uuid) {
    char id[64];
    nvmlReturn_t wrong = ready();
    if (wrong) return wrong;
    for (int i = 0; i < self.gpus; i++) {
        by_uuid ? uuid_of(&gpus[i], id) : bus_id_of(&gpus[i], id, "00000000");
        if (!strcasecmp(id, wanted)) {
            *gpu = &gpus[i];
            return is_lost(*gpu, now_ns()) ? GPU_IS_LOST : SUCCESS;
        }
    }
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, gpu_t **gpu) { return handle_by(uuid, gpu, 1); }
nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *id, gpu_t **gpu) { return handle_by(id, gpu, 0); }

nvmlReturn_t nvmlDeviceGetIndex(gpu_t *gpu, unsigned *index) {
    nvmlReturn_t wrong = check(gpu, index);
    if (!wrong) *index = (unsigned)gpu->index;
    return wrong;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(gpu_t *gpu, unsigned *minor) { return nvmlDeviceGetIndex(gpu, minor); }

nvmlReturn_t nvmlDeviceGetUUID(gpu_t *gpu, char *out, unsigned length) {
    char uuid[64];
    nvmlReturn_t wrong = is_mig_device(gpu) ? ready() : check(gpu, out);
    if (wrong) return wrong;
    uuid_of(gpu, uuid);
    return text(uuid, out, length);
}

nvmlReturn_t nvmlDeviceGetName(gpu_t *gpu, char *out, unsigned length) {
    char name[sizeof self.names];
    const char *start = self.names;
    nvmlReturn_t wrong = check(gpu, out);
    if (wrong) return wrong;
    for (int i = 0; i < gpu->index && strchr(start, '|'); i++) start = strchr(start, '|') + 1;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(start, "|"), start);
    return text(name, out, length);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(gpu_t *gpu, pci_t *pci) {
    nvmlReturn_t wrong = check(gpu, pci);
    if (wrong) return wrong;
    memset(pci, 0, sizeof *pci);
    pci->bus = (unsigned)gpu->index + 1;
    bus_id_of(gpu, pci->busId, "00000000");
    bus_id_of(gpu, pci->busIdLegacy, "0000");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetArchitecture(gpu_t *gpu, unsigned *architecture) {
    nvmlReturn_t wrong = check(gpu, architecture);
    if (!wrong) *architecture = 9; /* Hopper */
    return wrong;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(gpu_t *gpu, int *major, int *minor) {
    nvmlReturn_t wrong = check(gpu, major);
    if (wrong) return wrong;
    *major = self.capability_major;
    *minor = self.capability_minor;
    return SUCCESS;
}

/* ---- readings ---------------------------------------------------------------------------------- */

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(gpu_t *gpu, unsigned long long *millijoules) {
    int64_t t_ns;
    nvmlReturn_t wrong = sense(gpu, millijoules, ENERGY, &t_ns);
    if (!wrong) *millijoules = counter_mj(gpu, t_ns);
    return wrong;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(gpu_t *gpu, unsigned *milliwatts) {
    int64_t t_ns;
    nvmlReturn_t wrong = sense(gpu, milliwatts, POWER, &t_ns);
    if (!wrong) *milliwatts = (unsigned)(power_w(t_ns) * 1000);
    return wrong;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(gpu_t *gpu, utilization_t *rates) {
    int64_t t_ns;
    pause_s(self.load_hang_s);
    nvmlReturn_t wrong = sense(gpu, rates, UTILIZATION, &t_ns);
    if (wrong) return wrong;
    rates->gpu = (unsigned)(100 * power_w(t_ns) / self.limit_w);
    rates->memory = rates->gpu / 2;
    return SUCCESS;
}

static void read_field(gpu_t *gpu, field_t *field) {
    int is_energy = field->fieldId == FIELD_ENERGY;
    int is_average = field->fieldId == FIELD_POWER_AVERAGE;
    int is_known = is_energy || is_average || field->fieldId == FIELD_POWER_INSTANT;
    int is_module = field->scopeId == 1;
    int64_t t_ns = 0;
    field->latencyUsec = 0;
    field->nvmlReturn =
        is_known ? sense(gpu, field, is_energy ? ENERGY : is_average ? AVERAGE : POWER, &t_ns) : NOT_SUPPORTED;
    if (is_module) field->nvmlReturn = self.module_w > 0 ? SUCCESS : NOT_SUPPORTED;
    field->timestamp = t_ns / 1000;
    field->valueType = is_energy ? TYPE_UNSIGNED_LONG_LONG : TYPE_UNSIGNED_INT;
    field->value.ull = 0;
    if (field->nvmlReturn) return;
    if (is_module) field->value.ui = (unsigned)(self.module_w * 1000);
    else if (is_energy) field->value.ull = counter_mj(gpu, t_ns);
    else field->value.ui = (unsigned)((is_average ? mean_power_w(t_ns) : power_w(t_ns)) * 1000);
}

nvmlReturn_t nvmlDeviceGetFieldValues(gpu_t *gpu, int count, field_t *fields) {
    nvmlReturn_t wrong = check(gpu, fields);
    for (int i = 0; !wrong && i < count; i++) read_field(gpu, &fields[i]);
    return wrong;
}

/* ---- facts that do not change ------------------------------------------------------------------ */

static nvmlReturn_t limit(gpu_t *gpu, unsigned *milliwatts) {
    nvmlReturn_t wrong = check(gpu, milliwatts);
    if (!wrong) *milliwatts = (unsigned)(self.limit_w * 1000);
    return wrong;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(gpu_t *gpu, unsigned *out) { return limit(gpu, out); }
nvmlReturn_t nvmlDeviceGetPowerManagementLimit(gpu_t *gpu, unsigned *out) { return limit(gpu, out); }
nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(gpu_t *gpu, unsigned *out) { return limit(gpu, out); }

nvmlReturn_t nvmlDeviceGetMemoryInfo(gpu_t *gpu, memory_t *memory) {
    nvmlReturn_t wrong = check(gpu, memory);
    if (wrong) return wrong;
    memory->total = self.memory;
    memory->used = self.memory / 4;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(gpu_t *gpu, memory_v2_t *memory) {
    nvmlReturn_t wrong = check(gpu, memory);
    if (wrong) return wrong;
    memory->total = self.memory;
    memory->reserved = 0;
    memory->used = self.memory / 4;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(gpu_t *gpu, int sensor, unsigned *celsius) {
    (void)sensor;
    nvmlReturn_t wrong = check(gpu, celsius);
    if (!wrong) *celsius = 40;
    return wrong;
}

nvmlReturn_t nvmlDeviceGetComputeMode(gpu_t *gpu, int *mode) {
    nvmlReturn_t wrong = check(gpu, mode);
    if (!wrong) *mode = 0;
    return wrong;
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(gpu_t *gpu, int *mode) {
    nvmlReturn_t wrong = check(gpu, mode);
    if (!wrong) *mode = 1;
    return wrong;
}

/* ---- who uses it ------------------------------------------------------------------------------- */

nvmlReturn_t nvmlDeviceGetMigMode(gpu_t *gpu, unsigned *current, unsigned *pending) {
    nvmlReturn_t wrong = check(gpu, current);
    if (wrong) return wrong;
    if (!self.slices) return NOT_SUPPORTED;
    *current = *pending = 1;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(gpu_t *gpu, unsigned *count) {
    nvmlReturn_t wrong = check(gpu, count);
    if (!wrong) *count = self.slices ? 7 : 0;
    return wrong;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(gpu_t *gpu, unsigned index, gpu_t **out) {
    nvmlReturn_t wrong = check(gpu, out);
    if (wrong) return wrong;
    if (index >= (unsigned)self.slices) return NOT_FOUND;
    *out = &mig_devices[gpu->index][index];
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(gpu_t *slice, gpu_t **out) {
    if (!is_mig_device(slice)) return INVALID_ARGUMENT;
    *out = &gpus[slice->index];
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(gpu_t *slice, attributes_t *out) {
    if (!is_mig_device(slice)) return INVALID_ARGUMENT;
    memset(out, 0, sizeof *out);
    out->gpu_slices = out->compute_slices = (unsigned)self.slice_sizes[slice->slice - 1];
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(gpu_t *gpu, unsigned *count, process_t *out) {
    nvmlReturn_t wrong = check(gpu, count);
    unsigned room = wrong ? 0 : *count;
    if (wrong) return wrong;
    *count = (unsigned)self.processes;
    if (room < *count) return INSUFFICIENT_SIZE;
    for (int i = 0; i < self.processes; i++) out[i] = (process_t){self.pids[i], 1 << 30, ~0u, ~0u};
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(gpu_t *gpu, unsigned *count, void *out) {
    nvmlReturn_t wrong = check(gpu, count);
    (void)out;
    if (!wrong) *count = 0;
    return wrong;
}

/* As the driver does: one sample for each process, or NOT_FOUND where none is newer. */
nvmlReturn_t nvmlDeviceGetProcessUtilization(
    gpu_t *gpu, sample_t *out, unsigned *count, unsigned long long seen_us
) {
    nvmlReturn_t wrong = check(gpu, count);
    unsigned room = wrong || !out ? 0 : *count;
    unsigned long long t_us = (unsigned long long)now_ns() / 1000;
    if (wrong) return wrong;
    if (!self.processes || t_us <= seen_us) return NOT_FOUND;
    *count = (unsigned)self.processes;
    if (room < *count) return INSUFFICIENT_SIZE;
    for (int i = 0; i < self.processes; i++) out[i] = (sample_t){self.pids[i], t_us, self.loads[i], 0, 0, 0};
    return SUCCESS;
}
