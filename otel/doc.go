// Package otelmultiprolab makes OpenTelemetry spans of the messages, calls and tasks of a program
// of github.com/multiprolab/multiprolab, and carries their context between its processes: a task of
// main that calls another worker is one trace across three processes.
//
// The name is the one that instrumentations have by custom, such as otelgrpc. Call [Use] in main
// and in the setup function of each worker, with a TracerProvider of the process:
//
//	app := multiprolab.New(nil)
//	app.RegisterWorker("thumbnailer", func(ctx context.Context, w *multiprolab.Worker) error {
//		tracers := newTracers("thumbnailer") // of the SDK, with the exporter of your choice
//		w.OnExit(tracers.Shutdown)           // what is not exported yet
//		otelmultiprolab.Use(w, &otelmultiprolab.Config{TracerProvider: tracers})
//		...
//	}, nil)
//	otelmultiprolab.Use(app, &otelmultiprolab.Config{TracerProvider: newTracers("main")})
//
// What is sent under the context of a handler belongs to the trace of that handler, so pass the
// context on.
//
// # Spans
//
// Spans follow version 1.43.0 of the semantic conventions, those for messaging for messages and
// tasks, and those for RPC for calls:
//
//	in the process of the sender         name, kind                    it takes
//	Send, Broadcast                      send {type}, PRODUCER         until it is on its way
//	Submit, TrySubmit                    submit {type}, PRODUCER       until the queue has the task
//	Do, DoWith, Stream                   submit {type}, PRODUCER       until the outcome
//	Map                                  map {type}, PRODUCER          until the last outcome
//	Call                                 {pool}/{type}, CLIENT         until the reply
//
//	in the process of the handler
//	message, task, item of a Map         process {type}, CONSUMER      each attempt
//	call                                 {pool}/{type}, SERVER         the handler
//
// The type is the destination, messaging.destination.name: it is what handlers subscribe to. The
// consumer group is the pool. The span of a handler is the child of the sender's span, and has a
// link to it as well, as the conventions for messaging ask; so a trace is whole however long a task
// has waited. The attempts at a task are children of the same span.
//
//	messaging.system                 multiprolab
//	messaging.operation.name         send, submit, map, process
//	messaging.operation.type         send, process
//	messaging.destination.name       the type
//	messaging.consumer.group.name    the pool of the handler, or main
//	messaging.client.id              the name of the process, such as thumbnailer/2
//	messaging.message.id             the id of the task, at its handler
//	messaging.batch.message_count    how many items a Map has taken in
//	rpc.system.name                  multiprolab
//	rpc.method                       {pool}/{type}
//	error.type                       the type of the error, if there is one, or the sentinel
//	                                 that it is, such as context.Canceled
//	multiprolab.receiver             the name that Send, Broadcast or Call gives
//	multiprolab.sender               the name of the sender, at the handler
//	multiprolab.task.attempt         the number of the attempt, from 1
//
// The span of a handler whose process dies is lost with it; that of who waits for the outcome ends
// with the error, and that of a Map with the first one that it has yielded. What becomes of a task
// of Submit is in the spans of its attempts alone. A task that is taken with TaskQueue.Get has no
// span of a handler.
//
// The context travels in the headers of the message, in the form of [Config.Propagator], beside
// those that others have set; it replaces one that is there already, as in headers that were taken
// from another message. If it does not fit into what headers may take, 8 KiB in all, for example
// because the baggage is large, what does not fit is left behind.
package otelmultiprolab
