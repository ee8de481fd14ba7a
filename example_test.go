package agentbay_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// A session is made, used and released. AGENTBAY_ENDPOINT and AGENTBAY_API_KEY
// say which bay; `agentbay env` prints them.
func Example() {
	ctx := context.Background()
	bay, err := agentbay.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	session, err := bay.Create(ctx, agentbay.SessionSpec{Image: "code_latest"})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Delete(ctx)
	out, err := session.Command("echo 'Hello World'").Output(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", out)
}

// Output of code can be had while it runs.
func ExampleSession_RunCode() {
	ctx := context.Background()
	bay, err := agentbay.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	session, err := bay.Create(ctx, agentbay.SessionSpec{Image: "code_latest"})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Delete(ctx)
	result, err := session.RunCode(ctx, "python", "for i in range(3): print(i)\n'done'",
		agentbay.OnCodeEvent(func(e tool.CodeEvent) { fmt.Print(e.Chunk) }))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Text())
}

// What is written below a context's mount outlives the session: it is saved when
// the session is deleted, and the next one that mounts the context finds it.
func Example_contexts() {
	ctx := context.Background()
	bay, err := agentbay.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	project, err := bay.ContextNamed(ctx, "my-project", true)
	if err != nil {
		log.Fatal(err)
	}
	spec := agentbay.SessionSpec{Contexts: []agentbay.ContextMount{
		{Context: project.ID, Path: "/tmp/persistent", Policy: agentbay.DefaultSyncPolicy},
	}}
	first, err := bay.Create(ctx, spec)
	if err != nil {
		log.Fatal(err)
	}
	err = first.FS(ctx).WriteFile("tmp/persistent/important.txt", []byte("This will persist"))
	if err != nil {
		log.Fatal(err)
	}
	if err := first.Delete(ctx); err != nil {
		log.Fatal(err)
	}
	second, err := bay.Create(ctx, spec)
	if err != nil {
		log.Fatal(err)
	}
	defer second.Delete(ctx)
	text, err := second.FS(ctx).ReadFile("tmp/persistent/important.txt")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)
}

// A file of any size goes to any path of a session, and comes back.
func ExampleSession_UploadFile() {
	ctx := context.Background()
	bay, err := agentbay.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	session, err := bay.Create(ctx, agentbay.SessionSpec{})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Delete(ctx)
	progress := agentbay.OnProgress(func(moved, total int64) { fmt.Printf("%d of %d bytes\n", moved, total) })
	if err := session.UploadFile(ctx, "data.csv", "/tmp/data.csv", progress); err != nil {
		log.Fatal(err)
	}
	if err := session.DownloadFile(ctx, "/tmp/data.csv", "copy.csv"); err != nil {
		log.Fatal(err)
	}
}

// Files of a context can be put and got without a session.
func ExampleClient_PutContextFile() {
	ctx := context.Background()
	bay, err := agentbay.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	project, err := bay.ContextNamed(ctx, "my-project", true)
	if err != nil {
		log.Fatal(err)
	}
	if err := bay.PutContextFile(ctx, project.ID, "/tmp/persistent/input.txt", strings.NewReader("42")); err != nil {
		log.Fatal(err)
	}
	if err := bay.GetContextFile(ctx, project.ID, "/tmp/persistent/input.txt", os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// A state that a context had can be brought back.
func ExampleClient_RestoreContext() {
	ctx := context.Background()
	bay, err := agentbay.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	project, err := bay.ContextNamed(ctx, "my-project", false)
	if err != nil {
		log.Fatal(err)
	}
	history, err := bay.Snapshots(ctx, project.ID)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range history {
		fmt.Println(s.ID, s.At, s.Reason, s.Files)
	}
	if len(history) < 2 {
		return
	}
	if err := bay.RestoreContext(ctx, project.ID, history[1].ID); err != nil {
		log.Fatal(err)
	}
}
