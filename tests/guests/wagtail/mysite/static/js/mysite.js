console.log("mysite");
