package agentbay_test

import (
	"context"
	"fmt"
	"log"

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
