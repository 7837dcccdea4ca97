package otelmultiprolab

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/multiprolab/multiprolab"
)

// ScopeName is the name of the instrumentation scope of all spans.
const ScopeName = "github.com/multiprolab/multiprolab/otel"

// Config says where spans go. The zero value is good for a process that has set OpenTelemetry's
// global TracerProvider.
type Config struct {
	// TracerProvider makes the spans of this process. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator carries the context between processes. It has to be the same in all of them. Nil
	// means the W3C's trace context and baggage, whatever the global propagator is: the messages
	// stay within the program.
	Propagator propagation.TextMapPropagator
}

// Use makes spans of what a process sends and handles from now on: of main or, in the setup
// function, of a worker. cfg may be nil. Middlewares that were used before are around the spans,
// those that are used later are inside.
func Use(p multiprolab.Process, cfg *Config) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if c.TracerProvider == nil {
		c.TracerProvider = otel.GetTracerProvider()
	}
	if c.Propagator == nil {
		c.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	u := &user{
		tracer:     c.TracerProvider.Tracer(ScopeName, trace.WithSchemaURL(semconv.SchemaURL)),
		propagator: c.Propagator,
	}
	multiprolab.UseSend(p, u.sending)
	multiprolab.UseHandle(p, u.handling)
}

// user makes the spans of one process. Nothing of it changes.
type user struct {
	tracer     trace.Tracer                  // makes them
	propagator propagation.TextMapPropagator // carries their context
}

const system = "multiprolab"

// The attributes of this package.
const (
	receiverKey = attribute.Key("multiprolab.receiver")
	senderKey   = attribute.Key("multiprolab.sender")
	attemptKey  = attribute.Key("multiprolab.task.attempt")
)

// The names of operations, by the kinds of multiprolab.Operation.
var sendNames = map[string]string{"message": "send", "task": "submit", "map": "map"}

// sending is the middleware around what the process sends.
func (u *user) sending(next multiprolab.Step) multiprolab.Step {
	return func(ctx context.Context, op *multiprolab.Operation) error {
		var name string
		var opts []trace.SpanStartOption
		receiver, typ := bounded(op.Receiver, maxName), bounded(op.Type, maxName) // nobody has checked them yet
		if op.Kind == "call" {
			name = poolOf(receiver) + "/" + typ
			opts = []trace.SpanStartOption{
				trace.WithSpanKind(trace.SpanKindClient),
				trace.WithAttributes(
					semconv.RPCSystemNameKey.String(system), semconv.RPCMethod(name), receiverKey.String(receiver),
				),
			}
		} else {
			operation, known := sendNames[op.Kind]
			if !known {
				operation = op.Kind
			}
			name = operation + " " + typ
			attributes := messaging(typ, operation, semconv.MessagingOperationTypeSend, op.Sender)
			if op.Kind == "message" && receiver != "" { // it is no broadcast to all
				attributes = append(attributes, receiverKey.String(receiver))
			}
			opts = []trace.SpanStartOption{
				trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attributes...),
			}
		}
		ctx, span := u.tracer.Start(ctx, name, opts...)
		op.Header = without(op.Header, u.propagator.Fields())
		u.propagator.Inject(ctx, carrier{op})
		if op.Kind == "map" {
			return within(ctx, span, counted(span, next), op)
		}
		return within(ctx, span, next, op)
	}
}

// counted returns the next step of a Map, after which its span has the number of the items.
func counted(span trace.Span, next multiprolab.Step) multiprolab.Step {
	return func(ctx context.Context, op *multiprolab.Operation) error {
		defer func() { span.SetAttributes(semconv.MessagingBatchMessageCount(op.Items)) }()
		return next(ctx, op)
	}
}

// handling is the middleware around the handlers of the process.
func (u *user) handling(next multiprolab.Step) multiprolab.Step {
	return func(ctx context.Context, op *multiprolab.Operation) error {
		if len(op.Header) > 0 {
			ctx = u.propagator.Extract(ctx, carrier{op})
		}
		pool := poolOf(op.Receiver)
		if op.Kind == "call" {
			method := pool + "/" + op.Type
			ctx, span := u.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
				semconv.RPCSystemNameKey.String(system), semconv.RPCMethod(method),
				receiverKey.String(op.Receiver), senderKey.String(op.Sender),
			))
			return within(ctx, span, next, op)
		}
		attributes := append(
			messaging(op.Type, "process", semconv.MessagingOperationTypeProcess, op.Receiver),
			semconv.MessagingConsumerGroupName(pool),
			senderKey.String(op.Sender),
		)
		if t := multiprolab.TaskFrom(ctx); t != nil && op.Kind == "task" {
			id := semconv.MessagingMessageID(strconv.FormatUint(t.ID, 10))
			attributes = append(attributes, id, attemptKey.Int(t.Attempt))
		}
		opts := []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...),
		}
		if from := trace.SpanContextFromContext(ctx); from.IsRemote() {
			opts = append(opts, trace.WithLinks(trace.Link{SpanContext: from}))
		}
		ctx, span := u.tracer.Start(ctx, "process "+op.Type, opts...)
		return within(ctx, span, next, op)
	}
}

// messaging returns the attributes that all spans of messages and tasks have.
func messaging(destination, operation string, typ attribute.KeyValue, client string) []attribute.KeyValue {
	return append(make([]attribute.KeyValue, 0, 10),
		semconv.MessagingSystemKey.String(system),
		semconv.MessagingOperationName(operation),
		typ,
		semconv.MessagingDestinationName(destination),
		semconv.MessagingClientID(client),
	)
}

// within does the next step inside a span, which ends with it.
func within(ctx context.Context, span trace.Span, next multiprolab.Step, op *multiprolab.Operation) (err error) {
	returned := false
	defer func() { // a direct call of span.End would catch a panic, and change its stack
		switch {
		case !returned:
			span.SetStatus(codes.Error, "the handler has panicked, or has ended its goroutine")
			span.SetAttributes(semconv.ErrorTypeKey.String("panic"))
		case err != nil:
			span.SetStatus(codes.Error, bounded(err.Error(), maxText))
			span.SetAttributes(semconv.ErrorTypeKey.String(typeOf(err)))
		}
		span.End()
	}()
	err = next(ctx, op)
	returned = true
	return err
}

const (
	maxText = 1 << 10 // the greatest length of the text of an error in bytes
	maxType = 200     // the greatest length of its type in bytes
	maxName = 255     // the greatest length of the name of a receiver or a type in bytes
)

// sentinels are the errors that are known by what they are, for their types are private.
var sentinels = []struct {
	err  error  // the sentinel
	name string // where it is found
}{
	{context.Canceled, "context.Canceled"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
	{multiprolab.ErrCancelled, "multiprolab.ErrCancelled"},
	{multiprolab.ErrQueueFull, "multiprolab.ErrQueueFull"},
	{multiprolab.ErrBacklog, "multiprolab.ErrBacklog"},
	{multiprolab.ErrCallCycle, "multiprolab.ErrCallCycle"},
	{multiprolab.ErrStopped, "multiprolab.ErrStopped"},
	{multiprolab.ErrExit, "multiprolab.ErrExit"},
	{multiprolab.ErrNoTask, "multiprolab.ErrNoTask"},
	{multiprolab.ErrNotWorker, "multiprolab.ErrNotWorker"},
}

// typeOf returns the type of an error, as error.type has it: what it says itself; or the first
// public type of it and what it wraps; or the sentinel that it matches; or the innermost type.
func typeOf(err error) string {
	var own interface{ ErrorType() string }
	if errors.As(err, &own) && own.ErrorType() != "" {
		return bounded(own.ErrorType(), maxType)
	}
	var name string
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		name = bounded(semconv.ErrorType(inner).Value.AsString(), maxType)
		if first, _ := utf8.DecodeRuneInString(name[strings.LastIndexByte(name, '.')+1:]); unicode.IsUpper(first) {
			return name
		}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.name
		}
	}
	return name
}

// without returns headers without some of them, of which none is changed: others may have them.
func without(headers map[string]string, names []string) map[string]string {
	if len(headers) == 0 {
		return nil
	}
	left := maps.Clone(headers)
	for _, name := range names {
		delete(left, name)
	}
	return left
}

// bounded returns the beginning of a text, as valid UTF-8.
func bounded(text string, limit int) string {
	if len(text) > limit {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// poolOf returns the pool of the name of a receiver: of an instance, such as "thumbnailer/2", of a
// name that Keyed has made, or of a pool itself.
func poolOf(receiver string) string {
	pool, _, _ := strings.Cut(receiver, "#")
	at := strings.LastIndexByte(pool, '/')
	if at > 0 && at < len(pool)-1 && strings.Trim(pool[at+1:], "0123456789") == "" {
		return pool[:at]
	}
	return pool
}

// maxHeaders is how much the headers of an operation may take in bytes, packed. Beside each text
// stands its length, which takes two bytes at most.
const maxHeaders = 8<<10 - 8

// carrier has the context of a trace travel in the headers of an operation. It leaves out what
// would not fit.
type carrier struct {
	op *multiprolab.Operation
}

func (c carrier) Get(name string) string { return c.op.Header[name] }

func (c carrier) Set(name, value string) {
	size := len(name) + len(value) + 4
	for n, v := range c.op.Header {
		if n != name {
			size += len(n) + len(v) + 4
		}
	}
	if size <= maxHeaders {
		c.op.SetHeader(name, value)
	}
}

func (c carrier) Keys() []string {
	names := make([]string, 0, len(c.op.Header))
	for name := range c.op.Header {
		names = append(names, name)
	}
	return names
}
