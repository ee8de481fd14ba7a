// Package agentbay names the things a bay is made of, and talks to a bay from Go.
//
// A bay is one running AgentBay server. Its nouns:
//
//   - A [Session] is one isolated machine with a lifecycle: a user's connection
//     to a cloud environment.
//   - An image is what a session boots from; it decides which tools work inside.
//   - A tool is one named operation performed inside a session (package tool).
//   - A context is a directory that outlives the sessions it is mounted in.
//   - A policy says when what is idle is released.
//   - An API key says who is asking; what one key made, another cannot see.
//   - A request ID names one call, in the answer and in the server's log.
//
// [Client] is the Go SDK:
//
//	bay, err := agentbay.NewClient() // AGENTBAY_API_KEY and AGENTBAY_ENDPOINT say where
//	session, err := bay.Create(ctx, agentbay.SessionSpec{Image: "code_latest"})
//	defer session.Delete(ctx)
//	out, err := session.Command("echo hello").Output(ctx)
//
// What is to outlive a session is kept in a context that it mounts:
//
//	project, err := bay.ContextNamed(ctx, "my-project", true)
//	session, err := bay.Create(ctx, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{
//		{Context: project.ID, Path: "/tmp/persistent", Policy: agentbay.DefaultSyncPolicy},
//	}})
//
// [Service] is everything a caller can ask of a bay. The server's core and the
// Client both implement it and pass one contract suite.
package agentbay
